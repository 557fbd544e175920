# Nobody is in the office.
. ./desk.sh
{
    headers mairie-lille@desks.example
    printf 'Auto-Submitted: auto-replied\n\nNous sommes absents.\n'
} >in.eml
