// The list of groups: links to each group's address, with a mark on those that have news.

/**
 * @param {HTMLElement} list
 * @param {Iterable<{name: string, unread: number, unreadMore: boolean}>} groups those that one is in, in the order of joining
 * @param {string | null} current the open group
 * @param {{news: (count: string) => string}} words
 */
export function showGroups(list, groups, current, words) {
  // A link stays the same element: one made anew between press and release is not followed, and loses the focus.
  const gone = new Map(Array.from(list.querySelectorAll('a'), (link) => [link.hash, link]));
  for (const { name, unread, unreadMore } of groups) {
    const link = gone.get(`#${name}`) ?? append(list, name);
    gone.delete(link.hash);
    if (name === current) link.setAttribute('aria-current', 'page');
    else link.removeAttribute('aria-current');
    mark(link, unread > 0 ? words.news(unreadMore || unread > 99 ? '99+' : String(unread)) : '');
  }
  for (const link of gone.values()) link.parentElement.remove();
  // Among many, the one that has just been opened is brought into sight; whoever looks at others is left there.
  if (list.dataset.open !== String(current)) list.querySelector('[aria-current]')?.scrollIntoView({ block: 'nearest' });
  list.dataset.open = String(current);
}

function append(list, name) {
  const link = document.createElement('a');
  link.href = `#${name}`;
  link.textContent = name;
  const item = document.createElement('li');
  item.append(link);
  list.append(item);
  return link;
}

function mark(link, news) {
  const old = link.querySelector('.unread');
  if (news === (old?.textContent ?? '')) return;
  link.replaceChildren(link.hash.slice(1));
  if (news) link.append(' ', Object.assign(document.createElement('span'), { className: 'unread', textContent: news }));
}
