// The list of groups: links to each group's address, with a mark on those that have news.

/**
 * @param {HTMLElement} list
 * @param {Iterable<string>} names
 * @param {string | null} current the open group
 * @param {Map<string, number>} unread messages that came while a group was not looked at
 */
export function showGroups(list, names, current, unread) {
  const focused = list.contains(document.activeElement) ? document.activeElement.hash : null;
  const items = Array.from(names, (name) => {
    const link = document.createElement('a');
    link.href = `#${name}`;
    link.textContent = name;
    if (name === current) link.setAttribute('aria-current', 'page');
    const news = unread.get(name) ?? 0;
    if (news > 0) {
      const mark = document.createElement('span');
      mark.className = 'unread';
      mark.textContent = `${news > 99 ? '99+' : news} new`;
      link.append(' ', mark);
    }
    const item = document.createElement('li');
    item.append(link);
    return item;
  });
  list.replaceChildren(...items);
  // The list is made anew each time; whoever stood in it by keyboard stays there.
  for (const link of list.querySelectorAll('a')) if (link.hash === focused) link.focus({ preventScroll: true });
}
