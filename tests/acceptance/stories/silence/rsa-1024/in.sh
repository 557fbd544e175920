# Signed by an enrolled certificate with a key that is too short.
. ./desk.sh
request Z5935 59350
part "$file" >part.txt
{
    headers mairie-lille@desks.example
    openssl cms -sign -in part.txt -signer rsa-1024.pem -inkey rsa-1024.key
} >in.eml
