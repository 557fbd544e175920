# Signed by one sender, From the address of another.
. ./desk.sh
request Z5935 59350
part "$file" >part.txt
{
    headers mairie-lille@desks.example
    openssl cms -sign -in part.txt -signer editeur-sud.pem -inkey editeur-sud.key
} >in.eml
