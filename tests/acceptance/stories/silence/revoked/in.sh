# Signed by an enrolled certificate that has been revoked.
. ./desk.sh
request Z5935 59350
part "$file" >part.txt
{
    headers mairie-lille@desks.example
    openssl cms -sign -in part.txt -signer revoked.pem -inkey revoked.key
} >in.eml
