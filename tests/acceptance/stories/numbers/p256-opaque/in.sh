# Signed by ECDSA on P-256, around the content, with SHA-512.
. ./desk.sh
request Z1110 75111
part "$file" >part.txt
{
    headers region-idf@desks.example
    openssl cms -sign -in part.txt -signer region-idf.pem -inkey region-idf.key -nodetach -md sha512
} >in.eml
