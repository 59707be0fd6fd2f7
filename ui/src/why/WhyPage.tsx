import { Page } from '../parts/Page.tsx'

export default function WhyPage() {
  return <Page path="why">{null}</Page>
}
