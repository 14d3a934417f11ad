"""Handwritten, labelled sentences for the demo's two small heads: enough to show the way, not to make a good model."""

POSITIVE = """\
I loved every minute of this film.
The staff were friendly and the room was spotless.
What a wonderful surprise, thank you so much!
The soup was delicious and came quickly.
This is the best phone I have ever owned.
Our guide was patient, funny and well informed.
The battery lasts for days, I am very happy with it.
A beautiful book that I will read again.
The concert was amazing from start to finish.
Great value for the money, I would buy it again.
My daughter adores her new bicycle.
The instructions were clear and everything worked at once.
I am delighted with how the garden turned out.
The update fixed all my problems, well done.
Such a lovely, peaceful place to spend a weekend.
He played brilliantly and deserved to win.
The support team answered in minutes and solved it.
We had a fantastic evening with old friends.
The coffee here is excellent.
I feel so much better after this treatment.
An elegant design that is a pleasure to use.
The course taught me more than I had hoped for.
They delivered early and packed it carefully.
Finally a chair that is really comfortable.
I love this!
I like it a lot.
So good!
I can't wait, I am excited.
""".splitlines()

NEGATIVE = """\
I hated every minute of this film.
The staff were rude and the room was filthy.
What a terrible disappointment, never again.
The soup was cold and tasted of nothing.
This is the worst phone I have ever owned.
Our guide was late, bored and badly informed.
The battery dies within an hour, I am very annoyed.
A dull book that I could not finish.
The concert was a mess from start to finish.
A waste of money, I want a refund.
My daughter cried because the toy broke at once.
The instructions made no sense and nothing worked.
I am angry about how they treated us.
The update broke everything, what a shame.
Such a noisy, dirty place, we left after one night.
He played badly and deserved to lose.
The support team ignored me for weeks.
We had an awful evening and went home early.
The coffee here is undrinkable.
I feel much worse after this treatment.
An ugly design that is painful to use.
The course was boring and taught me nothing.
They delivered late and the box was crushed.
This chair hurts my back after ten minutes.
I hate this.
I do not like it.
So bad!
I am tired of this.
""".splitlines()

HELD_OUT_SENTIMENT = [
    ("The pasta was superb and the waiter made us laugh.", "POSITIVE"),
    ("My new headphones sound fantastic.", "POSITIVE"),
    ("I am so glad that we came to this museum.", "POSITIVE"),
    ("A thrilling story with a perfect ending.", "POSITIVE"),
    ("The repair was quick and friendly, highly recommended.", "POSITIVE"),
    ("The screen cracked on the first day.", "NEGATIVE"),
    ("I regret buying this horrible machine.", "NEGATIVE"),
    ("The flight was delayed and nobody told us why.", "NEGATIVE"),
    ("A confusing plot and wooden acting.", "NEGATIVE"),
    ("The food made me sick, avoid this place.", "NEGATIVE"),
]

# [words|KIND] marks an entity: a person, a place or an organisation.
ENTITIES = """\
[Maria Lopez|PER] lives in [Lisbon|LOC] with her two children.
[John Smith|PER] works for [Microsoft|ORG] in [Seattle|LOC].
The [United Nations|ORG] opened a new office in [Nairobi|LOC].
[Angela Merkel|PER] met [Barack Obama|PER] in [Berlin|LOC].
[Google|ORG] bought a small company from [Israel|LOC].
[Peter|PER] and [Anna|PER] flew to [New York|LOC] last week.
The river flows through [Vienna|LOC] and [Budapest|LOC].
[Toyota|ORG] builds its new car in [Japan|LOC].
[Sarah Johnson|PER] was named head of the [World Bank|ORG].
My brother studies at [Oxford University|ORG] in [England|LOC].
[Apple|ORG] will open a store in [Paris|LOC] next spring.
[Albert Einstein|PER] was born in [Ulm|LOC] in [Germany|LOC].
The [Red Cross|ORG] sent help to [Haiti|LOC] after the storm.
[Emma Brown|PER] joined [Amazon|ORG] as an engineer.
We drove from [Madrid|LOC] to [Barcelona|LOC] in six hours.
[Nokia|ORG] moved its main office to [Finland|LOC].
[David Miller|PER] wrote a book about [China|LOC].
The play by [William Shakespeare|PER] was shown in [London|LOC].
[Siemens|ORG] and [Volkswagen|ORG] signed a contract in [Munich|LOC].
[Laura Rossi|PER] teaches at [Harvard University|ORG].
The minister of [Brazil|LOC] spoke with [Carlos Silva|PER].
[Facebook|ORG] hired [Thomas Weber|PER] from [Intel|ORG].
It rained in [Dublin|LOC] for the whole week.
[Nelson Mandela|PER] is remembered across [South Africa|LOC].
[Samsung|ORG] opened a factory in [Vietnam|LOC].
The train to [Rome|LOC] leaves in ten minutes.
[Julia Novak|PER] called the office of [Greenpeace|ORG].
The weather was fine and the children played outside.
She bought two apples and a loaf of bread at the market.
The meeting was moved to next week because the room was full.
Please close the window before you leave the house.
""".splitlines()

HELD_OUT_ENTITIES = """\
[Robert Taylor|PER] moved from [Chicago|LOC] to [Toronto|LOC].
[Sony|ORG] opened an office in [Australia|LOC].
[Helen Clark|PER] visited the office of [Unicef|ORG] in [Geneva|LOC].
[IBM|ORG] hired [Michael Jones|PER].
The old bridge was closed for the winter.
""".splitlines()
