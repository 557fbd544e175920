# Signed and encrypted, both written in BER.
. ./desk.sh
request Z5935 59350
part "$file" >part.txt
openssl cms -sign -in part.txt -signer mairie-lille.pem -inkey mairie-lille.key -nodetach -stream -out signed.txt
{
    headers mairie-lille@desks.example
    openssl cms -encrypt -in signed.txt -stream -aes-256-cbc -recip service.pem
} >in.eml
