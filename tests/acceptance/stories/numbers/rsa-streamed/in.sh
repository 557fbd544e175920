# The content inside the signature, written in BER as programs do that do not know the length beforehand.
. ./desk.sh
request Z5935 59350
part "$file" >part.txt
{
    headers mairie-lille@desks.example
    openssl cms -sign -in part.txt -signer mairie-lille.pem -inkey mairie-lille.key -nodetach -stream
} >in.eml
