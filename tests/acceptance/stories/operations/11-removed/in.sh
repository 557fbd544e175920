# And nothing can be done to it any more.
. ./desk.sh
NUMBER=$NUMBER_09_mistake
request Z5901 59350
part "$file" >part.txt
{
    headers editeur-sud@desks.example
    openssl cms -sign -in part.txt -signer editeur-sud.pem -inkey editeur-sud.key
} >in.eml
