"""Where a photograph is lost: finding one flat shape, reading masks, marking colours."""
