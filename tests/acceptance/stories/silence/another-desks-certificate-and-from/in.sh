# Signed by one sender; From, desk and a certificate in the bag are another's.
. ./desk.sh
request Z5935 59350
part "$file" >part.txt
{
    headers mairie-lille@desks.example
    openssl cms -sign -in part.txt -signer editeur-sud.pem -inkey editeur-sud.key -certfile mairie-lille.pem
} >in.eml
