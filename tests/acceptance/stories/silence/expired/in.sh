# Signed by an enrolled certificate that has expired.
. ./desk.sh
request Z5935 59350
part "$file" >part.txt
{
    headers mairie-lille@desks.example
    openssl cms -sign -in part.txt -signer expired.pem -inkey expired.key
} >in.eml
