# Two From fields.
. ./desk.sh
request Z5935 59350
part "$file" >part.txt
{
    printf 'From: mairie-lille@desks.example\n'
    headers mairie-lille@desks.example
    openssl cms -sign -in part.txt -signer mairie-lille.pem -inkey mairie-lille.key
} >in.eml
