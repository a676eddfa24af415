// Two badges and a banner: whether we have the hub, and whether the hub has the others. Words, not colours alone.

const CONNECTION = {
  connecting: ['Connecting', 'busy'],
  connected: ['Connected', 'good'],
  reconnecting: ['Reconnecting', 'busy'],
  offline: ['Offline', 'bad'],
};

const REDIS = {
  connecting: ['Redis: connecting', 'busy'],
  healthy: ['Cluster', 'good'],
  suspect: ['Cluster, Redis slow', 'busy'],
  degraded: ['Redis away: this node only', 'bad'],
  healing: ['Redis: catching up', 'busy'],
};

/**
 * @param {HTMLElement} badge
 * @param {import('../hub/link.js').Status} status
 * @param {boolean} online what the browser says of its network
 */
export function showConnection(badge, status, online) {
  const lost = status !== 'connected' && !online;
  [badge.textContent, badge.dataset.mood] = CONNECTION[lost ? 'offline' : status];
}

/**
 * @param {HTMLElement} badge
 * @param {HTMLElement} banner
 * @param {{state: string, mode: string, scope: string, since: number, caught_up?: {messages: number}}} layer
 */
export function showLayer(badge, banner, { state, mode, scope, since, caught_up }) {
  const words = mode === 'memory' ? ['One node', 'good'] : REDIS[state];
  [badge.textContent, badge.dataset.mood] = words ?? [state, 'busy']; // A state of a later version is at least named.
  badge.hidden = false;
  const alone = mode !== 'memory' && scope === 'node';
  if (alone) {
    const time = new Date(since).toLocaleTimeString(undefined, { hour: '2-digit', minute: '2-digit' });
    banner.textContent = `Live only on this node since ${time}. The other nodes' messages come when the link is back.`;
  } else if (caught_up?.messages > 0) {
    banner.textContent = `The link is back. Messages caught up: ${caught_up.messages}.`;
  }
  banner.hidden = !alone && !(caught_up?.messages > 0);
}
