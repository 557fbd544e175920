# Encrypted, but not signed.
. ./desk.sh
request Z5935 59350
part "$file" >part.txt
{
    headers mairie-lille@desks.example
    openssl cms -encrypt -in part.txt -aes-256-cbc -recip service.pem
} >in.eml
