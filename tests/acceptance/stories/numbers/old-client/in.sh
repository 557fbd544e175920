# A desk that is enrolled for AES-CBC is answered so.
. ./desk.sh
request Z5901 59512
part "$file" >part.txt
openssl cms -sign -in part.txt -signer editeur-sud.pem -inkey editeur-sud.key -out signed.txt
{
    headers editeur-sud@desks.example
    openssl cms -encrypt -in signed.txt -aes-256-cbc -recip service.pem
} >in.eml
