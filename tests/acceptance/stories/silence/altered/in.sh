# Somebody changed one character behind the signer's back.
. ./desk.sh
request Z5935 59350
part "$file" >part.txt
openssl cms -sign -in part.txt -signer mairie-lille.pem -inkey mairie-lille.key -out signed.txt
{
    headers mairie-lille@desks.example
    sed 's/filename="DEMZ5935/filename="DEMZ5901/' signed.txt
} >in.eml
