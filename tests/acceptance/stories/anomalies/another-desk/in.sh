# A desk that another sender has the mandate for.
. ./desk.sh
request Z1110 75111
part "$file" >part.txt
{
    headers mairie-lille@desks.example
    openssl cms -sign -in part.txt -signer mairie-lille.pem -inkey mairie-lille.key
} >in.eml
