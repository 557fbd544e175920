# Two request files in one signed content: two answers in one.
. ./desk.sh
request Z5935 59350
part "$file" >part1.txt
request Z5935 59512 900001
part "$file" >part2.txt
{
    printf 'Content-Type: multipart/mixed; boundary="between"\n\n--between\n'
    printf 'Content-Type: text/plain; charset=utf-8\n\nDeux demandes.\n--between\n'
    cat part1.txt
    printf '%s\n' --between
    cat part2.txt
    printf '%s\n' --between--
} >content.txt
openssl cms -sign -in content.txt -signer mairie-lille.pem -inkey mairie-lille.key -out signed.txt
{
    headers mairie-lille@desks.example
    openssl cms -encrypt -in signed.txt -aes-256-gcm -recip service.pem -keyopt rsa_padding_mode:oaep
} >in.eml
