// Palabre for JavaScript: chat in groups over one WebSocket, in browsers, workers and Node.

export { createClient } from './client.js';
export { PalabreError } from './error.js';

/** @typedef {import('./client.js').Client} Client */
/** @typedef {import('./group.js').Group} Group */
/** @typedef {import('./client.js').Options} Options */
/** @typedef {import('./client.js').ClientEvents} ClientEvents */
/** @typedef {import('./client.js').Queued} Queued */
/** @typedef {import('./group.js').GroupEvents} GroupEvents */
/** @typedef {import('./group.js').Content} Content */
/** @typedef {import('./group.js').Ack} Ack */
/** @typedef {import('./timeline.js').Entry} Entry */
/** @typedef {import('./timeline.js').Message} Message */
/** @typedef {import('./timeline.js').MessageState} MessageState */
/** @typedef {import('./timeline.js').Note} Note */
/** @typedef {import('./frames.js').Layer} Layer */
/** @typedef {import('./frames.js').Position} Position */
/** @typedef {import('./frames.js').User} User */
/** @typedef {import('./frames.js').Said} Said */
/** @typedef {import('./link.js').Status} Status */
/** @typedef {import('./link.js').StatusEvent} StatusEvent */
/** @typedef {import('./link.js').GetToken} GetToken */
/** @typedef {import('./link.js').SocketClass} SocketClass */
/** @typedef {import('./link.js').Socket} Socket */
/** @typedef {import('./keep.js').Store} Store */
