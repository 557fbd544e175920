# Signed, then encrypted by AES-GCM with OAEP.
. ./desk.sh
request Z5935 59350
part "$file" >part.txt
openssl cms -sign -in part.txt -signer mairie-lille.pem -inkey mairie-lille.key -out signed.txt
{
    headers mairie-lille@desks.example
    openssl cms -encrypt -in signed.txt -aes-256-gcm -recip service.pem -keyopt rsa_padding_mode:oaep
} >in.eml
