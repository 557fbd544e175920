"""The whole enrolment as one file that people review and compare: written, read, and carried out where it differs."""
