# Signed on P-256, then encrypted to the service's key on P-256.
. ./desk.sh
request Z1110 75111
part "$file" >part.txt
openssl cms -sign -in part.txt -signer region-idf.pem -inkey region-idf.key -out signed.txt
{
    headers region-idf@desks.example
    openssl cms -encrypt -in signed.txt -aes-256-gcm -recip service-ec.pem
} >in.eml
