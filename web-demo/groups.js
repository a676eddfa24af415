// The list of groups: links to each group's address, with a mark on those that have news.

/**
 * @param {HTMLElement} list
 * @param {Iterable<{name: string, unread: number, unreadMore: boolean}>} groups
 * @param {string | null} current the open group
 * @param {{news: (count: string) => string}} words
 */
export function showGroups(list, groups, current, words) {
  const focused = list.contains(document.activeElement) ? document.activeElement.hash : null;
  const items = Array.from(groups, ({ name, unread, unreadMore }) => {
    const link = document.createElement('a');
    link.href = `#${name}`;
    link.textContent = name;
    if (name === current) link.setAttribute('aria-current', 'page');
    if (unread > 0) {
      const mark = document.createElement('span');
      mark.className = 'unread';
      mark.textContent = words.news(unreadMore || unread > 99 ? '99+' : String(unread));
      link.append(' ', mark);
    }
    const item = document.createElement('li');
    item.append(link);
    return item;
  });
  list.replaceChildren(...items);
  // Among many, the one that has just been opened is brought into sight; whoever looks at others is left there.
  if (list.dataset.open !== String(current)) list.querySelector('[aria-current]')?.scrollIntoView({ block: 'nearest' });
  list.dataset.open = String(current);
  // The list is made anew each time; whoever stood in it by keyboard stays there.
  for (const link of list.querySelectorAll('a')) if (link.hash === focused) link.focus({ preventScroll: true });
}
