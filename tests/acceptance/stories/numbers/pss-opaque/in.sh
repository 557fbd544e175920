# Signed by RSA-PSS with SHA-384, around the content.
. ./desk.sh
request Z5935 59350
part "$file" >part.txt
{
    headers mairie-lille@desks.example
    openssl cms -sign -in part.txt -signer mairie-lille.pem -inkey mairie-lille.key -nodetach -md sha384 -keyopt rsa_padding_mode:pss
} >in.eml
