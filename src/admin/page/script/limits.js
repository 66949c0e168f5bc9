// The page is a client of the admin API. The server joins the files of this folder to one module.
//
// Values of the metadata are text nodes, never markup. The token is in memory and in a header, never in a URL. These limits bound what is
// drawn; times are in milliseconds.

/** The most rows of the tree that are drawn, until the user asks for more. */
const MAX_TREE_ROWS = 400;
/** The most requests that are kept. */
const MAX_REQUESTS = 1000;
/** The most requests, and the most waiting programs, that are drawn. */
const MAX_ROWS = 200;
/** The time between two drawings of a list. */
const REDRAW = 250;
/** The time between two requests for a resource that changes. */
const REFRESH = 400;
/** The longest time between two attempts to connect. */
const MAX_RETRY = 3000;
/** A stream without a byte for this time is dead, because the server sends a comment more often. */
const SILENCE = 40000;
