# A desk of the real register, sent to the school.
. ./desk.sh
request 59123 59350
part "$file" >part.txt
{
    headers mairie-lille@desks.example
    openssl cms -sign -in part.txt -signer mairie-lille.pem -inkey mairie-lille.key
} >in.eml
