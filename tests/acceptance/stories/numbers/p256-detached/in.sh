# Signed by ECDSA on P-256, beside the content.
. ./desk.sh
request Z1110 75111
part "$file" >part.txt
{
    headers region-idf@desks.example
    openssl cms -sign -in part.txt -signer region-idf.pem -inkey region-idf.key
} >in.eml
