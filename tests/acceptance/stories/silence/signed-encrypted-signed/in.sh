# Signed, encrypted, and signed again.
. ./desk.sh
request Z5935 59350
part "$file" >part.txt
openssl cms -sign -in part.txt -signer mairie-lille.pem -inkey mairie-lille.key -out signed.txt
openssl cms -encrypt -in signed.txt -aes-256-cbc -recip service.pem -out encrypted.txt
{
    headers mairie-lille@desks.example
    openssl cms -sign -in encrypted.txt -signer mairie-lille.pem -inkey mairie-lille.key
} >in.eml
