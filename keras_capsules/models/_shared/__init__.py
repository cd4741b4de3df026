"""Parts that several models of the zoo are built of."""
