import { wrongAnswer } from './stream-faults.ts';

/** One page of a listing; fails where the service would have the same one asked for again and again. */
export async function pageOf<Page extends { readonly nextPageToken: string }>(
  fetch: (pageToken: string) => Promise<Page>,
  pageToken: string,
): Promise<Page> {
  const page = await fetch(pageToken);
  const isSame = pageToken !== '' && page.nextPageToken === pageToken;
  if (isSame) throw wrongAnswer('The service goes on with the same page');
  return page;
}

/** The pages of a listing, each asked for when it is needed: with the token of the one before. */
export async function* pagesOf<Page extends { readonly nextPageToken: string }>(
  fetch: (pageToken: string) => Promise<Page>,
): AsyncGenerator<Page, void, undefined> {
  let pageToken = '';
  do {
    const page = await pageOf(fetch, pageToken);
    yield page;
    pageToken = page.nextPageToken;
  } while (pageToken !== '');
}
