# Encrypted to somebody else.
. ./desk.sh
request Z5935 59350
part "$file" >part.txt
openssl cms -sign -in part.txt -signer mairie-lille.pem -inkey mairie-lille.key -out signed.txt
{
    headers mairie-lille@desks.example
    openssl cms -encrypt -in signed.txt -aes-256-cbc -recip stranger.pem
} >in.eml
