# No certificate in the mail: the enrolled one is taken.
. ./desk.sh
request Z5935 59350
part "$file" >part.txt
{
    headers mairie-lille@desks.example
    openssl cms -sign -in part.txt -signer mairie-lille.pem -inkey mairie-lille.key -nocerts
} >in.eml
