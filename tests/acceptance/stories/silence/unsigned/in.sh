# Not signed.
. ./desk.sh
request Z5935 59350
{
    headers mairie-lille@desks.example
    printf 'MIME-Version: 1.0\n'
    part "$file"
} >in.eml
