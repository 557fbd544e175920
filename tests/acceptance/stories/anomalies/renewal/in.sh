# An operation that the desk has no mandate for.
. ./desk.sh
request Z1110 75111
part "$file" >part.txt
{
    headers region-idf@desks.example
    openssl cms -sign -in part.txt -signer region-idf.pem -inkey region-idf.key
} >in.eml
