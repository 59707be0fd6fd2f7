import { Page } from '../parts/Page.tsx'

export default function FlagsPage() {
  return <Page path="flags">{null}</Page>
}
