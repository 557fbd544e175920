# A dwelling is attributed.
. ./desk.sh
NUMBER=$NUMBER_01_creation
request Z5901 59350
part "$file" >part.txt
{
    headers editeur-sud@desks.example
    openssl cms -sign -in part.txt -signer editeur-sud.pem -inkey editeur-sud.key
} >in.eml
