# Signed by PSS, then encrypted by AES-128-GCM with OAEP and SHA-256.
. ./desk.sh
request Z5935 59350
part "$file" >part.txt
openssl cms -sign -in part.txt -signer mairie-lille.pem -inkey mairie-lille.key -keyopt rsa_padding_mode:pss -out signed.txt
{
    headers mairie-lille@desks.example
    openssl cms -encrypt -in signed.txt -aes-128-gcm -recip service.pem -keyopt rsa_padding_mode:oaep -keyopt rsa_oaep_md:sha256
} >in.eml
