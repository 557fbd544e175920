# A municipality that lies in no territory.
. ./desk.sh
request Z5935 99123
part "$file" >part.txt
{
    headers mairie-lille@desks.example
    openssl cms -sign -in part.txt -signer mairie-lille.pem -inkey mairie-lille.key
} >in.eml
