"""The mail door: signed request mails in, signed answers out."""
