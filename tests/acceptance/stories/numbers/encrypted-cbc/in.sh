# Signed, then encrypted by AES-CBC and RSA v1.5, as openssl does unless told otherwise.
. ./desk.sh
request Z5935 59350
part "$file" >part.txt
openssl cms -sign -in part.txt -signer mairie-lille.pem -inkey mairie-lille.key -out signed.txt
{
    headers mairie-lille@desks.example
    openssl cms -encrypt -in signed.txt -aes-256-cbc -recip service.pem
} >in.eml
