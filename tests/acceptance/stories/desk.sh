# What the in.sh of every story begins with. A desk needs no more than sh, sed, base64 and openssl.
# Beside it lie the keys and certificates of the desks (mairie-lille.pem, mairie-lille.key …), the certificates of the
# authorities (chain.pem), and those of the service (service.pem, service-ec.pem).

# Writes a request file of desk $1 for a dwelling in municipality $2; $file is its name. $3: another sequence.
# $NUMBER is that of the request that it is about, if it is about one.
request() {
    file="DEM$1-$MINUTE-${3:-$SEQUENCE}.xml"
    sed -e "s/@DESK@/$1/" -e "s/@PLACE@/$2/" -e "s/@SURNAME@/$SURNAME${3:-}/" -e "s/@BIRTH@/$BIRTH/" \
        -e "s/@TODAY@/$TODAY/" -e "s/@NEXT_MONTH@/$NEXT_MONTH/" -e "s/@NOW@/$NOW/" \
        -e "s/@LAST_YEAR@/$LAST_YEAR/" -e "s/@NUMBER@/${NUMBER:-}/" demande.xml >"$file"
}

# A MIME part that carries file $1.
part() {
    printf 'Content-Type: application/xml; name="%s"\n' "$1"
    printf 'Content-Disposition: attachment; filename="%s"\n' "$1"
    printf 'Content-Transfer-Encoding: base64\n\n'
    base64 "$1"
}

# The header fields of a mail from $1, up to those that say what the content is.
headers() {
    printf 'From: %s\nTo: %s\nSubject: Demandes\nDate: %s\nMessage-ID: %s\n' "$1" "$TO" "$DATE" "$MESSAGE_ID"
}
