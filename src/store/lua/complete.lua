return finish_events('C')
