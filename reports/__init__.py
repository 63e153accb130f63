"""Results on disk and the page made of them. Reads run folders; knows no backend."""
