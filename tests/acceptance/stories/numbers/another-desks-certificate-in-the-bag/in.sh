# A certificate of another desk lies in the bag: it means nothing.
. ./desk.sh
request Z5901 59512
part "$file" >part.txt
{
    headers editeur-sud@desks.example
    openssl cms -sign -in part.txt -signer editeur-sud.pem -inkey editeur-sud.key -certfile mairie-lille.pem
} >in.eml
