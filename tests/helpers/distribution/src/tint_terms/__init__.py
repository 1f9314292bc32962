"""How far the mean colour of a restored photograph is from the truth's."""
