# The signed part lies beside an unsigned one.
. ./desk.sh
request Z5935 59350
part "$file" >part.txt
openssl cms -sign -in part.txt -signer mairie-lille.pem -inkey mairie-lille.key -out signed.txt
{
    headers mairie-lille@desks.example
    printf 'MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary="between"\n\n--between\n'
    cat signed.txt
    printf '%s\n' --between
    cat part.txt
    printf '%s\n' --between--
} >in.eml
