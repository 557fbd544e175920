# What is signed is not called plain data.
. ./desk.sh
request Z5935 59350
part "$file" >part.txt
{
    headers mairie-lille@desks.example
    openssl cms -sign -in part.txt -signer mairie-lille.pem -inkey mairie-lille.key -econtent_type 1.2.840.113549.1.9.16.1.4
} >in.eml
