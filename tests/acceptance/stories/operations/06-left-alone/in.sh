# Who has left is no holder of the request any more.
. ./desk.sh
NUMBER=$NUMBER_01_creation
request Z5935 59350
part "$file" >part.txt
{
    headers mairie-lille@desks.example
    openssl cms -sign -in part.txt -signer mairie-lille.pem -inkey mairie-lille.key
} >in.eml
