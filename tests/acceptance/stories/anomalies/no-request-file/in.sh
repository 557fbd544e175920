# A signed mail without any request file.
. ./desk.sh
printf 'Content-Type: text/plain; charset=utf-8\n\nBonjour.\n' >part.txt
{
    headers mairie-lille@desks.example
    openssl cms -sign -in part.txt -signer mairie-lille.pem -inkey mairie-lille.key
} >in.eml
