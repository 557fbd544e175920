# Signed by another certificate that is enrolled for the same sender.
. ./desk.sh
request Z5935 59350
part "$file" >part.txt
{
    headers mairie-lille@desks.example
    openssl cms -sign -in part.txt -signer second.pem -inkey second.key
} >in.eml
