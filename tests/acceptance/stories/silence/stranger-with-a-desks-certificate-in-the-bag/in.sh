# Signed by a stranger, with the certificate of an enrolled desk beside its own.
. ./desk.sh
request Z5935 59350
part "$file" >part.txt
{
    headers mairie-lille@desks.example
    openssl cms -sign -in part.txt -signer stranger.pem -inkey stranger.key -certfile mairie-lille.pem
} >in.eml
