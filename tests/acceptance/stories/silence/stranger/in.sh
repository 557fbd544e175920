# Signed by a certificate of the same authority that is not enrolled.
. ./desk.sh
request Z5935 59350
part "$file" >part.txt
{
    headers mairie-lille@desks.example
    openssl cms -sign -in part.txt -signer stranger.pem -inkey stranger.key
} >in.eml
